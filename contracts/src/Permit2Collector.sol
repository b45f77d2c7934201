// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {CHANNELS, PERMIT2} from "./Addresses.sol";
import {ICollector} from "./ICollector.sol";
import {IPermit2} from "./IPermit2.sol";

/// @title Brings deposits to the hub of channels through Permit2
/// @notice For tokens without EIP-3009. The payer signs the channel's id as witness, so the money can go into that
/// channel and nowhere else. It never holds any.
contract Permit2Collector is ICollector {
    bytes32 private constant _WITNESS_TYPE = keccak256("DepositWitness(bytes32 channelId)");
    string private constant _WITNESS =
        "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)";

    /// @notice Only the hub of channels may collect.
    error NotChannels(address caller, address channels);

    /// @notice Called by the hub; `data` is (uint256 nonce, uint256 deadline, bytes permit2Signature, bytes permit),
    /// where `permit` is empty or ERC-2612's (uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) for Permit2.
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external {
        require(msg.sender == CHANNELS, NotChannels(msg.sender, CHANNELS));
        (uint256 nonce, uint256 deadline, bytes memory signature, bytes memory permit) =
            abi.decode(data, (uint256, uint256, bytes, bytes));
        if (permit.length != 0) _approve(payer, token, permit);
        IPermit2(PERMIT2)
            .permitWitnessTransferFrom(
                IPermit2.PermitTransferFrom(IPermit2.TokenPermissions(token, amount), nonce, deadline),
                IPermit2.SignatureTransferDetails(CHANNELS, amount),
                payer,
                keccak256(abi.encode(_WITNESS_TYPE, channelId)),
                _WITNESS,
                signature
            );
    }

    /// @dev Anyone may have sent the same permit before; what counts is whether Permit2 can move the money afterwards.
    function _approve(address payer, address token, bytes memory permit) private {
        (uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) =
            abi.decode(permit, (uint256, uint256, uint8, bytes32, bytes32));
        try IERC20Permit(token).permit(payer, PERMIT2, value, deadline, v, r, s) {} catch {}
    }
}
