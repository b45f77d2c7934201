// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPayToken} from "./IPayToken.sol";
import {IRewards} from "./IRewards.sol";

/// @title The purse of one data DAO
/// @notice Every paid call pays this address. It funds the pool of each turn, once, and pays what the DAO decides.
contract Treasury is Ownable, ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;

    /// @notice The money that is held.
    IPayToken public immutable token;
    /// @notice The rewards contract whose pools are funded; zero until it is set.
    IRewards public rewards;
    /// @notice What the pool of a turn was funded with; 0 if it was not.
    mapping(uint64 turn => uint256 amount) public poolOf;

    /// @notice The rewards contract is set already and stays.
    error RewardsAlreadySet(address rewards);
    /// @notice The rewards contract is not set yet.
    error RewardsNotSet();
    /// @notice The rewards contract names another treasury or another token.
    error RewardsMismatch(address rewards, address treasury, address token);
    /// @notice The pool of this turn is funded already.
    error PoolAlreadyFunded(uint64 turn, uint256 amount);
    /// @notice The amount must be more than zero.
    error ZeroAmount();

    event RewardsSet(address indexed rewards);
    event PoolFunded(uint64 indexed turn, uint256 amount);
    event Paid(address indexed to, uint256 amount, bytes32 indexed reason);

    constructor(address owner, IPayToken token_) Ownable(owner) {
        token = token_;
    }

    /// @notice Name the rewards contract, once; it must name this treasury and its token.
    function setRewards(IRewards rewards_) external onlyOwner {
        require(address(rewards) == address(0), RewardsAlreadySet(address(rewards)));
        address treasury = rewards_.treasury();
        address money = address(rewards_.token());
        require(
            treasury == address(this) && money == address(token), RewardsMismatch(address(rewards_), treasury, money)
        );
        rewards = rewards_;
        emit RewardsSet(address(rewards_));
    }

    /// @notice Send `amount` to the rewards contract as the pool of `turn`, once.
    function fundPool(uint64 turn, uint256 amount) external onlyOwner nonReentrant {
        IRewards to = rewards;
        require(address(to) != address(0), RewardsNotSet());
        require(poolOf[turn] == 0, PoolAlreadyFunded(turn, poolOf[turn]));
        require(amount != 0, ZeroAmount());
        poolOf[turn] = amount;
        emit PoolFunded(turn, amount);
        token.forceApprove(address(to), amount);
        to.fund(turn, amount);
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
