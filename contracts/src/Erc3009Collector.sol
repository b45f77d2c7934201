// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {CHANNELS} from "./Addresses.sol";
import {ICollector} from "./ICollector.sol";
import {IPayToken} from "./IPayToken.sol";

/// @title Brings deposits to the hub of channels by EIP-3009 authorisations
/// @notice The payer signs a transfer to this contract whose nonce is made of the channel's id, so the money can go into
/// that channel and nowhere else. It holds nothing between calls.
contract Erc3009Collector is ICollector {
    using SafeERC20 for IPayToken;

    /// @notice Only the hub of channels may collect.
    error NotChannels(address caller, address channels);

    /// @notice Called by the hub; `data` is (uint256 validAfter, uint256 validBefore, uint256 salt, bytes signature).
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external {
        require(msg.sender == CHANNELS, NotChannels(msg.sender, CHANNELS));
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(data, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        IPayToken money = IPayToken(token);
        money.receiveWithAuthorization(payer, address(this), amount, validAfter, validBefore, nonce, signature);
        money.safeTransfer(CHANNELS, amount);
    }
}
