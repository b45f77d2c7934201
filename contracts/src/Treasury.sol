// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPayToken} from "./IPayToken.sol";
import {IRegistry} from "./IRegistry.sol";
import {IRewards} from "./IRewards.sol";
import {Operated} from "./Operated.sol";
import {Owned} from "./Owned.sol";

/// @title The purse of one data DAO
/// @notice Every paid call pays this address. The operator moves the pool of each turn to the rewards contract;
/// everything else is paid by a vote.
///
/// Definitions: pool(t) what turn t was funded with.
/// Always: money leaves to the rewards contract, as a pool, or by the owner's word.
contract Treasury is Owned, Operated, ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;

    /// @notice The money that is held.
    IPayToken public immutable token;
    /// @notice The rewards contract whose pools are funded.
    IRewards public immutable rewards;
    /// @notice What the pool of a turn was funded with; 0 if it was not.
    mapping(uint64 turn => uint256 amount) public poolOf;

    /// @notice The amount must be more than zero.
    error ZeroAmount();

    event PoolFunded(uint64 indexed turn, uint256 amount);
    event Paid(address indexed to, uint256 amount, bytes32 indexed reason);

    constructor(address owner_, IRegistry registry_, IPayToken token_, IRewards rewards_)
        Owned(owner_)
        Operated(registry_)
    {
        token = token_;
        rewards = rewards_;
    }

    /// @notice Send `amount` to the rewards contract for the pool of `turn`. Roots that were taken away because they
    /// paid too little are posted again with more, so a second act adds to the pool.
    function fundPool(uint64 turn, uint256 amount) external onlyOperator nonReentrant {
        require(amount != 0, ZeroAmount());
        poolOf[turn] += amount;
        emit PoolFunded(turn, amount);
        token.forceApprove(address(rewards), amount);
        rewards.fund(turn, amount);
    }

    /// @notice Pay `amount` to `to`; `reason` is the hash of the document that says why.
    function pay(address to, uint256 amount, bytes32 reason) external onlyOwner nonReentrant {
        require(amount != 0, ZeroAmount());
        emit Paid(to, amount, reason);
        token.safeTransfer(to, amount);
    }

    /// @notice What is held, in atomic units.
    function balance() external view returns (uint256) {
        return token.balanceOf(address(this));
    }
}
